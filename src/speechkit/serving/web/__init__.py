"""`speechkit serve`: a page and an HTTP API over durable jobs, in one process without a model."""
