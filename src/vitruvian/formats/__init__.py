"""Read and write poses."""
