FROM scratch
ENV GRÜẞE="schöne Grüße 🐳"
COPY ключ /
