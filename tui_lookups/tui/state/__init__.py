"""What is open: the walk from a token to heads, the basket, and the questions under way. No widget."""
