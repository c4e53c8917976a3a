#!/bin/sh
# The check of the official image, as far as that is needed: the server answers, and lets its user in.
exec mariadb --no-defaults -h 127.0.0.1 -u "$MARIADB_USER" "-p$MARIADB_PASSWORD" "$MARIADB_DATABASE" -e "SELECT 1" >/dev/null
