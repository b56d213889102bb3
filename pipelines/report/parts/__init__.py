"""What the sections of a report are made of: parts, charts, and the tables that any kind of data may show."""
