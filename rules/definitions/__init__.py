"""Tags and triggers as they are defined: read, checked, put together to a book."""
