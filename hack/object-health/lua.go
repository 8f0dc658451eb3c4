package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Argo CD stops a script after so long.
const scriptTimeout = time.Second

// Argo CD takes no other word for a health.
var healths = map[string]bool{
	"Healthy": true, "Progressing": true, "Suspended": true, "Degraded": true, "Missing": true, "Unknown": true,
}

// ArgoHealth runs a health script as Argo CD does for scripts that are not its own: with the base and table libraries
// alone, the object as the global obj, and a table with status and message as the answer (Argo CD: Resource Health).
func argoHealth(object map[string]any, script string) (*answer, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}}
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	deadline, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	state.SetContext(deadline)
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("it must return a table, and returned a %s", state.Get(-1).Type())
	}
	found := &answer{Status: text(table, "status"), Message: text(table, "message")}
	if !healths[found.Status] {
		return nil, fmt.Errorf("status must be one of Argo CD's, and is %q", found.Status)
	}
	return found, nil
}

func text(table *lua.LTable, field string) string {
	word, ok := table.RawGetString(field).(lua.LString)
	if !ok {
		return ""
	}
	return string(word)
}

// Value is a value of decoded JSON as Lua sees it: null is nil, lists count from one.
func value(state *lua.LState, decoded any) lua.LValue {
	switch decoded := decoded.(type) {
	case bool:
		return lua.LBool(decoded)
	case int64:
		return lua.LNumber(decoded)
	case float64:
		return lua.LNumber(decoded)
	case string:
		return lua.LString(decoded)
	case []any:
		list := state.CreateTable(len(decoded), 0)
		for _, item := range decoded {
			list.Append(value(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(decoded))
		for name, item := range decoded {
			table.RawSetString(name, value(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
