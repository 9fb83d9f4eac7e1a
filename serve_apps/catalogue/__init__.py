"""The catalogue of documents: what there is, in SQL, and how the vector store is kept in step with it."""
