"""The settings file: YAML in sections, read with the line of each value; its printing, and its schema."""
