// Command shell is the /bin/sh of the images that tests build on: static, so
// that a base image needs nothing else, and with one more command. `hold
// HOST:PORT` connects and waits until the other side hangs up, so that a test
// knows that a RUN step runs, and says when it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

func main() {
	err := run(context.Background(), os.Args[1:])
	if status := interp.ExitStatus(0); errors.As(err, &status) {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) != 2 || arguments[0] != "-c" {
		return errors.New("usage: sh -c SCRIPT")
	}
	script, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(arguments[1]), "")
	if err != nil {
		return err
	}
	runner, err := interp.New(interp.StdIO(os.Stdin, os.Stdout, os.Stderr), interp.ExecHandlers(commands))
	if err != nil {
		return err
	}
	return runner.Run(ctx, script)
}

// commands adds hold to the programs of the image.
func commands(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, arguments []string) error {
		if arguments[0] != "hold" {
			return next(ctx, arguments)
		}
		if len(arguments) != 2 {
			return errors.New("usage: hold HOST:PORT")
		}
		return hold(ctx, arguments[1])
	}
}

func hold(ctx context.Context, address string) (err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = io.Copy(io.Discard, conn)
	return err
}
