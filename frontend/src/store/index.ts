/** The store: REST answers in RTK Query, the watched runs in opdSlice. */
import { configureStore } from "@reduxjs/toolkit";

import { opdApi } from "../api";
import { opdSlice } from "./slices/opdSlice";

export function makeStore() {
  return configureStore({
    reducer: { opd: opdSlice.reducer, [opdApi.reducerPath]: opdApi.reducer },
    // Long series make the development checks slower than the page; they are plain data by construction.
    middleware: (defaults) =>
      defaults({ serializableCheck: false, immutableCheck: false }).concat(opdApi.middleware),
  });
}

export type AppStore = ReturnType<typeof makeStore>;
export type RootState = ReturnType<AppStore["getState"]>;
export type AppDispatch = AppStore["dispatch"];
