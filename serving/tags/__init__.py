"""What tags there are."""
