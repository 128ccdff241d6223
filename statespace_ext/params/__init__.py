"""Parameters: blocks vec(M) = f + D m, covariance structures, and the layout of the flat vector."""
