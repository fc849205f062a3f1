"""Parameters of products that were found by trying: the search, the store of what it found, the command's hook."""
