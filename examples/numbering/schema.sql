-- The tables of a document numbering service on MariaDB, as the playbooks sequence-raise-max and
-- sequence-yearly-reset expect them, with a little data to try them on.
--
-- A type of document has one configuration. Its numbers are counted per scope: once for ever
-- (GLOBAL) or anew each year (YEARLY, scope_value is the year). There is deliberately no unique key on
-- (config_id, scope_value): many live installations have none, and a playbook must not double a
-- year's sequence on those either.

CREATE TABLE document_numbering_configs (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  document_type VARCHAR(10)     NOT NULL,
  scope         VARCHAR(20)     NOT NULL,
  max_value     BIGINT UNSIGNED NOT NULL,
  updated_at    DATETIME        NOT NULL DEFAULT CURRENT_TIMESTAMP,
  UNIQUE KEY one_config_per_type (document_type)
) ENGINE=InnoDB;

CREATE TABLE document_numbering_sequences (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  config_id     BIGINT UNSIGNED NOT NULL,
  scope_value   VARCHAR(50)     NOT NULL,
  current_value BIGINT UNSIGNED NOT NULL DEFAULT 0,
  last_used_at  DATETIME        NULL,
  KEY idx_sequence_lookup (config_id, scope_value),
  CONSTRAINT sequence_of_config FOREIGN KEY (config_id) REFERENCES document_numbering_configs (id)
) ENGINE=InnoDB;

CREATE TABLE document_numbering_audit_logs (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  operation     VARCHAR(50)     NOT NULL,
  document_type VARCHAR(10)     NULL,
  old_value     VARCHAR(100)    NULL,
  new_value     VARCHAR(100)    NULL,
  user_id       BIGINT UNSIGNED NULL,
  metadata      LONGTEXT        NULL CHECK (JSON_VALID(metadata)),
  timestamp     DATETIME        NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB;

INSERT INTO document_numbering_configs (id, document_type, scope, max_value) VALUES
  (1, 'COR', 'GLOBAL', 999999),
  (2, 'RFA', 'YEARLY', 99999),
  (3, 'TRN', 'YEARLY', 99999),
  (4, 'DWG', 'GLOBAL', 999999);

INSERT INTO document_numbering_sequences (config_id, scope_value, current_value, last_used_at) VALUES
  (1, 'ALL',  912345, '2025-06-01 09:00:00'),
  (2, '2024',  88001, '2024-12-31 16:59:00'),
  (3, '2024',  12044, '2024-12-30 11:20:00'),
  (4, 'ALL',   20311, '2025-05-28 14:10:00');
