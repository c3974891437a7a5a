"""Did it help? Measuring on held-out prompts, the verdict, the alarms and the report."""
