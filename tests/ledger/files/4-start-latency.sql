BEGIN TRANSACTION;
CREATE TABLE accounts (
	id INTEGER NOT NULL,
	provider VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	began BIGINT NOT NULL,
	complete BOOLEAN NOT NULL,
	since BIGINT,
	newest BIGINT,
	listings BIGINT NOT NULL,
	last_success FLOAT NOT NULL, latest BIGINT, changes BIGINT NOT NULL DEFAULT 0, position VARCHAR,
	PRIMARY KEY (id)
);
INSERT INTO "accounts" VALUES(1,'browser_use','ours',1800000060000000,1,1800000900000001,1800001740000000,3,1800001800.0,1800001800000000,3,NULL);
INSERT INTO "accounts" VALUES(2,'browserbase','ours',1800000060000000,1,1799999220000001,1800000000000000,2,1800000120.0,1800000120000000,2,NULL);
CREATE TABLE ledger_migrations (
	name VARCHAR NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "ledger_migrations" VALUES('1-tables');
INSERT INTO "ledger_migrations" VALUES('2-rejected-rows');
INSERT INTO "ledger_migrations" VALUES('3-import-position');
INSERT INTO "ledger_migrations" VALUES('4-start-latency');
CREATE TABLE rejected (
	account INTEGER NOT NULL,
	id VARCHAR NOT NULL,
	at BIGINT NOT NULL,
	watermark BIGINT,
	PRIMARY KEY (account, id),
	FOREIGN KEY(account) REFERENCES accounts (id)
)
 WITHOUT ROWID
;
INSERT INTO "rejected" VALUES(1,'odd',1800000240000000,1799999160000001);
CREATE TABLE sessions (
	account INTEGER NOT NULL,
	id VARCHAR NOT NULL,
	series VARCHAR NOT NULL,
	created BIGINT NOT NULL,
	time BIGINT NOT NULL,
	proxy_bytes BIGINT NOT NULL,
	browser_cost BIGINT NOT NULL,
	proxy_cost BIGINT NOT NULL,
	billed BIGINT NOT NULL,
	lowered INTEGER NOT NULL,
	ended BIGINT,
	ending VARCHAR,
	missing BIGINT,
	settled BOOLEAN NOT NULL, open_cost BIGINT NOT NULL DEFAULT 0, start_counted BOOLEAN NOT NULL DEFAULT FALSE,
	PRIMARY KEY (account, id),
	FOREIGN KEY(account) REFERENCES accounts (id)
)
 WITHOUT ROWID
;
INSERT INTO "sessions" VALUES(1,'left','["p1","us-west-2"]',1800000000000000,60000000,1000,10,5,60000000,0,NULL,'unknown',1800000240000000,1,10,0);
INSERT INTO "sessions" VALUES(1,'new','["p1","us-west-2"]',1800001740000000,60000000,1000,0,5,60000000,0,NULL,NULL,NULL,0,7,0);
INSERT INTO "sessions" VALUES(1,'open','["p1","us-west-2"]',1800000000000000,1800000000,1000,0,5,1800000000,0,NULL,NULL,NULL,0,80000000,0);
INSERT INTO "sessions" VALUES(2,'bb','["p1","us-west-2"]',1800000000000000,60000000,500,0,0,60000000,0,NULL,NULL,NULL,0,0,0);
INSERT INTO "sessions" VALUES(2,'labelled','["p1","us-west-2",[["team","checkout"]]]',1800000000000000,3000000,0,0,0,3000000,0,1800000003000000,'completed',NULL,0,0,1);
CREATE TABLE totals (
	account INTEGER NOT NULL,
	series VARCHAR NOT NULL,
	counter VARCHAR NOT NULL,
	detail VARCHAR NOT NULL,
	value BIGINT NOT NULL,
	PRIMARY KEY (account, series, counter, detail),
	FOREIGN KEY(account) REFERENCES accounts (id)
)
 WITHOUT ROWID
;
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','cost','browser',110);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','cost','proxy',25);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','duration','60',2);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','duration','600',1);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','duration_sum','',720000000);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','ended','stopped',2);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','ended','unknown',1);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','proxy_bytes','',5000);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','started','',5);
INSERT INTO "totals" VALUES(1,'["p1","us-west-2"]','time','',2580000000);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','duration','5',1);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','duration_sum','',3000000);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','ended','completed',1);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','start','2',1);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','start_sum','',1500000);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','started','',1);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2",[["team","checkout"]]]','time','',3000000);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2"]','proxy_bytes','',500);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2"]','started','',1);
INSERT INTO "totals" VALUES(2,'["p1","us-west-2"]','time','',60000000);
CREATE TABLE words (
	account INTEGER NOT NULL,
	label VARCHAR NOT NULL,
	value VARCHAR NOT NULL,
	PRIMARY KEY (account, label, value),
	FOREIGN KEY(account) REFERENCES accounts (id)
)
 WITHOUT ROWID
;
INSERT INTO "words" VALUES(1,'project','p1');
INSERT INTO "words" VALUES(1,'status','paused');
INSERT INTO "words" VALUES(2,'metadata team','checkout');
INSERT INTO "words" VALUES(2,'project','p1');
INSERT INTO "words" VALUES(2,'status','paused');
CREATE UNIQUE INDEX accounts_name ON accounts (provider, name);
CREATE INDEX sessions_held ON sessions (account) WHERE settled = 0;
COMMIT;
