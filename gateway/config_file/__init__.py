"""The settings file: sections in YAML or TOML, read with the line of each value; its printing and schema."""
