# Calls a URL with the TLS client of openssl; the answer goes to standard output.
host=${1#https://}
host=${host%/}
printf 'GET / HTTP/1.1\r\nHost: %s\r\n\r\n' "$host" |
    exec openssl s_client -quiet -verify_return_error -CAfile "$SSL_CERT_FILE" \
        -servername "$host" -connect "$host:443"
