"""What a training step does, made visible for any LightningModule."""
