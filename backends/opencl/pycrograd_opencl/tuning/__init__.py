"""What was found by trying: settings of steps, parameters of products; the search, the store, the command's hook."""
