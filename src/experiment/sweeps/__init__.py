"""Many runs: which ones, launched and monitored, and their results compared."""
