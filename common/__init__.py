"""What every part shares: the model, schedules, configuration, errors, and the three interfaces."""
