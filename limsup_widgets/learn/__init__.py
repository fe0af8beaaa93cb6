"""What is computed: networks, losses, metrics, the tuning engine, uncertainty."""
