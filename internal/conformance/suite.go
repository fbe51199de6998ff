package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// test is one test of versitygw's suite.
type test struct {
	group, name string
	// versioned says that the suite runs it where its buckets have versions.
	versioned bool
}

// fullFlow is the function of the suite that runs all its groups.
const fullFlow = "TestFullFlow"

// parseSuite reads out of the suite's source which tests its full flow runs, by
// group. It takes both branches of what depends on versioning, which Meridian
// always has, and leaves out what is not for other systems than S3's.
func parseSuite(file string, source []byte) ([]test, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
	if err != nil {
		return nil, err
	}
	groups := map[string]*ast.FuncDecl{}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
			groups[f.Name.Name] = f
		}
	}
	flow := groups[fullFlow]
	if flow == nil {
		return nil, fmt.Errorf("%s has no %s", file, fullFlow)
	}
	var tests []test
	seen := map[string]bool{}
	walkTests(flow.Body.List, true, func(call *ast.CallExpr, versioned bool) {
		name, ok := call.Fun.(*ast.Ident)
		group := groups[nameOf(name, ok)]
		if group == nil {
			return
		}
		walkTests(group.Body.List, versioned, func(run *ast.CallExpr, versioned bool) {
			method, ok := run.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "Run" && method.Sel.Name != "Sync" || len(run.Args) != 1 {
				return
			}
			if f, ok := run.Args[0].(*ast.Ident); ok && !seen[f.Name] {
				seen[f.Name] = true
				tests = append(tests, test{strings.TrimPrefix(name.Name, "Test"), f.Name, versioned})
			}
		})
	})
	if len(tests) == 0 {
		return nil, fmt.Errorf("%s: %s runs nothing", file, fullFlow)
	}
	return tests, nil
}

func nameOf(i *ast.Ident, ok bool) string {
	if !ok {
		return ""
	}
	return i.Name
}

// walkTests calls visit for each call among the statements and within their ifs.
func walkTests(statements []ast.Stmt, versioned bool, visit func(call *ast.CallExpr, versioned bool)) {
	for _, s := range statements {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok {
				visit(call, versioned)
			}
		case *ast.IfStmt:
			walkTests(s.Body.List, versioned && !without(s.Cond, "versioningEnabled"), visit)
		}
	}
}

// without says whether a condition holds only where the setting is off.
func without(cond ast.Expr, setting string) bool {
	switch c := cond.(type) {
	case *ast.UnaryExpr:
		field, ok := c.X.(*ast.SelectorExpr)
		return c.Op == token.NOT && ok && field.Sel.Name == setting
	case *ast.BinaryExpr:
		return without(c.X, setting) || without(c.Y, setting)
	}
	return false
}
