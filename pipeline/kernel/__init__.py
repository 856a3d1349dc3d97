"""One record at a time: bytes to gated events. Polars over Arrow; imports no Spark."""
