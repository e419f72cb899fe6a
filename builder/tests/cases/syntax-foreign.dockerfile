# syntax=example.org/frontend
FROM scratch
