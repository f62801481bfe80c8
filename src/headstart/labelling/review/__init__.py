"""From what an audit finds to decisions: problems, the file of corrections, and the page on which people decide."""
