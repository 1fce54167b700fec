"""A run, played step by step: what it records, TensorBoard's tab, and one page to send."""
