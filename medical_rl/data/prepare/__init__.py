"""From a reader's rows to prepared parquet files with a card, by one command."""
