"""The node's daemon: assignments to crontab lines, ticks to claims, claims to processes, ends to reports."""
