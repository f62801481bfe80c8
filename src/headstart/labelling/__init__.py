"""From images without labels to labels: embeddings, similar images, and what to label next."""
