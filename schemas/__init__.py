"""JSON Schema of the language: `graph.schema.json` for the whole file, one file per component below its kind."""
