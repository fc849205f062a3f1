"""One kernel for each op, of any shape: what runs outside captured steps."""
