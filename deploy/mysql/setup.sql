-- The database and its users, once, as MariaDB's or MySQL's root: mariadb < setup.sql. In a Galera cluster on any node.
-- Replace both passwords. 10.0.0.10 is HAProxy's address, from which all of them come; without HAProxy each API server
-- and manager needs its own, or write '10.0.0.%'.

CREATE DATABASE cronkeeper CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- API and managers: rows only. This user's URL is sql.url (CRONKEEPER_SQL_URL_FILE):
-- mysql://cronkeeper:CHANGE-ME-1@10.0.0.10:3306/cronkeeper
CREATE USER 'cronkeeper'@'10.0.0.10' IDENTIFIED BY 'CHANGE-ME-1';
GRANT SELECT, INSERT, UPDATE, DELETE ON cronkeeper.* TO 'cronkeeper'@'10.0.0.10';

-- `cronkeeper db upgrade`: tables too. CRONKEEPER_SQL_URL=mysql://cronkeeper_upgrade:… cronkeeper db upgrade
CREATE USER 'cronkeeper_upgrade'@'10.0.0.10' IDENTIFIED BY 'CHANGE-ME-2';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX ON cronkeeper.* TO 'cronkeeper_upgrade'@'10.0.0.10';

-- HAProxy's check of a Galera node (galera.cfg) logs in without a password, and may do nothing but ask how the node is.
CREATE USER 'haproxy_check'@'10.0.0.10' IDENTIFIED BY '' WITH MAX_USER_CONNECTIONS 10;
