#!/usr/bin/env bash
# A PostgreSQL of its own for tests, in a folder: `start FOLDER` prints its URL, `stop FOLDER` ends it.
# It listens on a socket in the folder and nowhere else. Installs PostgreSQL where it is missing and apt is there.
set -euo pipefail
folder="$2"

find_programs() {
  ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true
}

install_postgres() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
}

# PostgreSQL refuses to be run by root: there, by the user that its package made.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

programs="$(find_programs)"
if [ "$1" = start ]; then
  if [ -z "$programs" ]; then
    install_postgres >&2 || { echo "No PostgreSQL here, and it cannot be installed." >&2; exit 1; }
    programs="$(find_programs)"
  fi
  [ "$(id -u)" != 0 ] || chown postgres "$folder"
  as_postgres "$programs/initdb" -D "$folder/data" -U raydio --auth=trust -E UTF8 --locale=C.UTF-8 >&2
  as_postgres "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w -o "-F -k $folder -c listen_addresses=''" start >&2
  echo "postgresql://raydio@/postgres?host=$folder"
else
  [ ! -d "$folder/data" ] || as_postgres "$programs/pg_ctl" -D "$folder/data" -m immediate stop >&2
fi
