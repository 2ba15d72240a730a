"""Workers of a divided pass: what runs inside of one, and how they are had: as local processes or from a cluster."""
