"""The setup of a training, its identity, batches, previews and log."""
