"""The durable truth in SQL: SQLite, or MySQL and its kin."""
