"""What is done with the vectors of `speechkit embed`: search, near duplicates, linear probes."""
