"""One run of any LightningModule, in a directory that holds everything about it."""
