"""Who is who: look into it, change it by hand, decide what waits for somebody, and change the rules while all runs."""
