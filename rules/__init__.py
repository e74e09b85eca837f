"""The rule language (parse, check, compile to Python) and, beside it, the shipped rules as YAML."""
