"""What an operator needs: health, metrics for Prometheus, logs with ids, backup and restore, keeping data in bounds."""
