package postgres

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of errors, from the appendix "PostgreSQL Error Codes" of its manual.
const (
	codeUnique          = "23505"
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeReadOnly        = "25006" // read_only_sql_transaction
	codeAdminShutdown   = "57P01"
	codeCrashShutdown   = "57P02"
	codeCannotConnect   = "57P03"
	codeTooManySessions = "53300"

	// Of our own schema.
	codeQuota     = "MQ001"
	codeNearQuota = "MQ002"
	codeLocked    = "ML001"
)

// maxTries bounds how often a statement is run.
const maxTries = 6

// isUnreachable reports whether the server could not be asked, or is starting,
// stopping or handing over, so that asking again soon is the thing to do.
func isUnreachable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case codeAdminShutdown, codeCrashShutdown, codeCannotConnect, codeTooManySessions, codeReadOnly:
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err)
}

// didNothing reports whether err proves that the statement changed nothing, so
// that even one that must not run twice may be repeated.
func didNothing(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case codeSerialization, codeDeadlock, codeReadOnly, codeCannotConnect, codeNearQuota:
			return true
		}
		return false
	}
	return pgconn.SafeToRetry(err)
}

// inDoubt reports whether err leaves open whether the statement was done.
func inDoubt(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	return err != nil && !didNothing(err) && !errors.As(err, &connect) && (!errors.As(err, &pg) || isUnreachable(err))
}

// retry runs do again while its error proves that it changed nothing. What may
// safely run twice (idempotent) is also repeated after a lost connection, when
// nobody knows whether it was done.
func retry(ctx context.Context, idempotent bool, do func() error) error {
	pause := 2 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == maxTries || ctx.Err() != nil || !didNothing(err) && (!idempotent || !isUnreachable(err)) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 3
	}
}
