"""Dead letters: find them, repair them by hand or by a rule, and replay them as if they had just come."""
