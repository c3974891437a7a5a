/** The generated endpoints with what they make stale. Import from here, not from schema.gen. */
import { generatedApi } from "./schema.gen";

export const opdApi = generatedApi.enhanceEndpoints({
  addTagTypes: ["runs", "exports", "datasets", "teachers", "keys"],
  endpoints: {
    listRuns: { providesTags: ["runs"] },
    getRun: { providesTags: ["runs"] },
    compareRuns: { providesTags: ["runs"] },
    startRun: { invalidatesTags: ["runs"] },
    stopRun: { invalidatesTags: ["runs"] },
    resumeRun: { invalidatesTags: ["runs"] },
    tagRun: { invalidatesTags: ["runs"] },
    deleteRun: { invalidatesTags: ["runs", "teachers"] },
    // What is exported lies in the run's folder, which the run's page lists.
    listExports: { providesTags: ["exports"], keepUnusedDataFor: 0 },
    startExport: { invalidatesTags: ["exports"] },
    listDatasets: { providesTags: ["datasets"] },
    uploadDataset: { invalidatesTags: ["datasets"] },
    getDataset: { providesTags: ["datasets"] },
    deleteDataset: { invalidatesTags: ["datasets"] },
    // A finished run's student is a model to choose.
    listTeachers: { providesTags: ["teachers", "runs"] },
    listKeys: { providesTags: ["keys"] },
    putKey: { invalidatesTags: ["keys"] },
    deleteKey: { invalidatesTags: ["keys"] },
    // Memory and disk change by themselves.
    preflight: { keepUnusedDataFor: 5 },
    estimateCost: { keepUnusedDataFor: 60 },
  },
});

export const {
  useCheckConfigQuery,
  useCompareRunsQuery,
  useDeleteDatasetMutation,
  useDeleteKeyMutation,
  useDeleteRunMutation,
  useEstimateCostQuery,
  useGetBudgetQuery,
  useGetConfigSchemaQuery,
  useGetDatasetQuery,
  useGetLogQuery,
  useGetMetricsQuery,
  useGetRunQuery,
  useGetSystemQuery,
  useLazyListTeachersQuery,
  useListDatasetsQuery,
  useListExportsQuery,
  useListKeysQuery,
  useListRunsQuery,
  useListTeachersQuery,
  useOpenSessionMutation,
  usePreflightQuery,
  usePutKeyMutation,
  useReadConfigMutation,
  useRenderDatasetQuery,
  useResumeRunMutation,
  useStartExportMutation,
  useStartRunMutation,
  useStopRunMutation,
  useTagRunMutation,
  useUploadDatasetMutation,
} = opdApi;
