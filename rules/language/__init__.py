"""The rule language: text to a tree, and a tree to Python."""
