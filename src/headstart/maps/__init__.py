"""All images of a data set in two dimensions: the projection, what is kept of it, and the drawing that pages share."""
