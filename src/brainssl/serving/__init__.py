"""The service: one classifier, asked over HTTP by people and programs that are strangers to it."""
