"""The REST API: HTTP only. It checks what comes in and calls the front desk."""
