/** The grammar worker: exposes a GrammarHost to the engine's worker, nothing else. Started with the first constraint. */
import { expose } from "comlink";
import { carryErrorsWhole } from "../src/util/error-border.ts";
import { GrammarHost } from "./grammar-host.ts";

carryErrorsWhole();
expose(new GrammarHost());
