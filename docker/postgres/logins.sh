#!/bin/sh
# Makes a login for each role; run by the image of PostgreSQL when it makes the database. `ordermill migrate --login` (the service
# `logins`) says what each may see.
set -eu
while IFS='=' read -r role password; do
    psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v login="mill_$role" -v password="$password" <<'SQL'
CREATE ROLE :"login" LOGIN PASSWORD :'password';
SQL
done </run/secrets/role_passwords
