"""What goes wrong on purpose: which requests are hit, what becomes of their answers, and how it is sent."""
