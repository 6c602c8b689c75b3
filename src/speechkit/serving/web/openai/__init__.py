"""OpenAI's API of transcriptions, as far as an engine can answer it."""
